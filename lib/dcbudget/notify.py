"""News of alerts: to a webhook, or into a file that a mail job sends. The one module that speaks to a network.

Nothing is sent anywhere but to the address that the user names, and only by the command `dcbudget alerts`.
"""

import json
import os
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dcbudget.errors import DcbudgetError

TIMEOUT_SECONDS = 10.0


class _NoRedirect(HTTPRedirectHandler):
    """News go to the named address and to no other."""

    def redirect_request(self, *_):
        return None


def lines(alerts: list[dict]) -> list[str]:
    """One line an alert: of what, since when, how much money, what happened and why it fired."""
    return [
        f"[{alert['alert_id']}, {alert['state']}] {alert['kind']}, {alert['scope']}, since {alert['since']}"
        f"{' until ' + alert['until'] if alert['until'] else ''}: {_money(alert)}. {alert['what']} ({alert['why']})"
        for alert in alerts
    ]


def send(url: str, title: str, alerts: list[dict], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Post alerts to a webhook as JSON: `text` for chat programs, `title` and `alerts` for others.

    Raises
    ------
    DcbudgetError : no http or https address, nobody answers, or the answer is no success. The message names the host
        only, since addresses of webhooks are secrets.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise DcbudgetError("a webhook must be an http or https address, such as https://chat.example.org/hooks/key")
    body = {"text": "\n".join([title, *lines(alerts)]), "title": title, "alerts": alerts}
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
    try:
        with build_opener(_NoRedirect).open(request, timeout=timeout_seconds):
            pass
    except HTTPError as error:
        reason = f"{error.code} {error.reason}"
    except URLError as error:
        reason = str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
    else:
        return
    raise DcbudgetError(f"alerts could not be sent to {host}: {reason}; they are sent with the next run")


def write_mail(path: Path, title: str, alerts: list[dict]) -> None:
    """Write alerts as a mail without sender and recipients, for `sendmail`; an empty file where there are none.

    Raises
    ------
    DcbudgetError : the file cannot be written.
    """
    content = b""
    if alerts:
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = title
        mail.set_content("\n\n".join(lines(alerts)) + "\n")
        content = mail.as_bytes()
    work = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        work.write_bytes(content)
        os.replace(work, path)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise DcbudgetError(f"{path} cannot be written: {error.strerror}") from None


def _money(alert: dict) -> str:
    if alert["money"] is None:
        return "amount not known"
    return f"{alert['money']:z,.0f} {alert['currency']} ({alert['basis']} cost)"
