"""What a run's histories say beside the verdict: availability, recovery, latencies. Pure; numbers in, numbers out."""
