"""What every other package uses: errors, atomic files, device locks, worker processes, a parallel map, seeds."""
