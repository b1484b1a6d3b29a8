-- No charge is there twice: the same in every field but the load and line that it came from.
select count(*) as copies, any_value(ResourceId) as ResourceId, any_value(ChargePeriodStart) as ChargePeriodStart
from (
    select hash(BillingAccountId, SubAccountId, InvoiceId, ChargePeriodStart, ChargePeriodEnd, ChargeCategory,
        ChargeClass, ChargeDescription, PricingCategory, ServiceName, SkuId, SkuPriceId, ResourceId, RegionId,
        AvailabilityZone, CommitmentDiscountId, CommitmentDiscountStatus, CapacityReservationStatus, Tags, x_extra,
        SkuPriceDetails, BilledCost, EffectiveCost, ListCost, ContractedCost, PricingQuantity, ConsumedQuantity) as h, *
    from landed.imported
)
group by h
having count(*) > 1
