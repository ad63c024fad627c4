"""CPU kernels: loops over sorted rows, how they are compiled, and the threads that run them."""
