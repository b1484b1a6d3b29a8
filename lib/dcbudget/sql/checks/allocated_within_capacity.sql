-- No pool's jobs held more GPU-hours in a month than the pool had, where its capacity is known.
select month, cluster, gpu_model, capacity_gpu_hours, allocated_gpu_hours
from gpu_hours_monthly
where capacity_gpu_hours > 0 and allocated_gpu_hours > capacity_gpu_hours * (1 + 1e-9)
