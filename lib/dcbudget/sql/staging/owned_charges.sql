-- grain: as owned_charges_live
-- key: ResourceId, ChargePeriodStart, ServiceName, ChargeCategory, BillingCurrency
-- source: owned_charges_live, or the table that keeps what it said at the end of the last load
select * from owned_charges_live
