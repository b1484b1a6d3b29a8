-- grain: one commitment of a contract; money in BillingCurrency, periods UTC and half-open
-- key: ContractCommitmentId, ContractId, ContractCommitmentPeriodStart
-- source: FOCUS 1.3 ContractCommitment dataset, its column names and types
create table contract_commitments (
    BillingCurrency varchar,
    ContractCommitmentCategory varchar not null,
    ContractCommitmentCost decimal(38, 24),
    ContractCommitmentDescription varchar,
    ContractCommitmentId varchar not null,
    ContractCommitmentPeriodEnd timestamp not null,
    ContractCommitmentPeriodStart timestamp not null,
    ContractCommitmentQuantity decimal(38, 18),
    ContractCommitmentType varchar,
    ContractCommitmentUnit varchar,
    ContractId varchar not null,
    ContractPeriodEnd timestamp,
    ContractPeriodStart timestamp,
    x_extra varchar,
    x_load_id bigint,
    x_source_row bigint
)
