"""Networks: the generator, its voxel-wise starting map and the discriminator."""
