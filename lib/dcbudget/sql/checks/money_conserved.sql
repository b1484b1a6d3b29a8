-- Every amount that was read is loaded or rejected, to the last digit.
select * from load_costs where cost_read <> cost_loaded + cost_rejected
