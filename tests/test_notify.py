"""News of alerts reach a webhook or a file, and nothing else."""

import json
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from dcbudget import notify
from dcbudget.errors import DcbudgetError

ALERT = {
    "alert_id": "5624584d", "state": "open", "kind": "spend above expected", "scope": "search, Network",
    "since": "2026-05-12", "until": "", "money": 7913.91, "currency": "USD", "basis": "effective",
    "what": "2,873 a day – where 235 was expected", "why": "3 days above the band", "note": "",
}  # fmt: skip
LINE = (
    "[5624584d, open] spend above expected, search, Network, since 2026-05-12: 7,914 USD (effective cost)."
    " 2,873 a day – where 235 was expected (3 days above the band)"
)


@pytest.fixture(scope="module")
def hook():
    """A server on this machine: what was posted to it, and the address."""
    posted = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response({"/refuses": 403, "/elsewhere": 302}.get(self.path, 200))
            self.send_header("Location", "/other")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    yield posted, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_json_that_chat_programs_read(hook):
    posted, address = hook
    posted.clear()
    notify.send(f"{address}/key", "dcbudget: 1 new alert", [ALERT])
    ((path, kind, body),) = posted
    assert (path, kind) == ("/key", "application/json")
    assert body == {"text": f"dcbudget: 1 new alert\n{LINE}", "title": "dcbudget: 1 new alert", "alerts": [ALERT]}


@pytest.mark.parametrize("path, told", [("/refuses", "403"), ("/elsewhere", "302")])
def test_no_success_is_an_error_without_the_address(hook, path, told):
    """Also a redirection, which would take the news to another address."""
    posted, address = hook
    posted.clear()
    with pytest.raises(DcbudgetError, match=f"could not be sent to 127.0.0.1: {told}.*; they are sent") as error:
        notify.send(address + path, "title", [ALERT])
    assert path not in str(error.value) and len(posted) == 1


def test_nobody_answers(hook):
    with pytest.raises(DcbudgetError, match=r"alerts could not be sent to 127\.0\.0\.1: "):
        notify.send("http://127.0.0.1:9/key", "title", [ALERT], timeout_seconds=2)


@pytest.mark.parametrize("url", ["", "chat.example.org", "file:///etc/passwd", "ftp://x/y", "http://", "http://[1/x"])
def test_only_web_addresses(url):
    with pytest.raises(DcbudgetError, match="a webhook must be an http or https address"):
        notify.send(url, "title", [ALERT])


def test_a_mail_and_an_empty_file(tmp_path):
    file = tmp_path / "alerts.eml"
    notify.write_mail(file, "dcbudget: 2 new alerts", [ALERT, {**ALERT, "money": None, "until": "2026-05-15"}])
    mail = message_from_bytes(file.read_bytes(), policy=default)
    assert mail["Subject"] == "dcbudget: 2 new alerts" and mail["To"] is None
    first, second = mail.get_content().replace("\r", "").strip().split("\n\n")
    assert first == LINE
    assert "since 2026-05-12 until 2026-05-15: amount not known. 2,873" in second
    notify.write_mail(file, "dcbudget: no new alerts", [])
    assert file.read_bytes() == b"" and list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DcbudgetError, match=r"alerts\.eml cannot be written: No such file"):
        notify.write_mail(tmp_path / "none/alerts.eml", "title", [ALERT])
