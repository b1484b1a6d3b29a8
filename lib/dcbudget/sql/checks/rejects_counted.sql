-- Every rejected row stands in rejects, once.
select loads.load_id, file, rows_rejected, count(r.load_id) as found
from loads left join (select load_id from rejects) r using (load_id)
group by all
having rows_rejected <> found
