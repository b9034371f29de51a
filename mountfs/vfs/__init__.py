"""What file system calls mean, without a kernel: inodes, handles, the overlay over the mirror."""
