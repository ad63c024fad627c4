"""What `bench domains` compares: layers of grids, sequences and sets beside torch's and PyG's own."""
