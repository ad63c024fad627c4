"""CPU kernels: numba loops over sorted rows, and the threads that run them. Imported at the first kernel call."""
