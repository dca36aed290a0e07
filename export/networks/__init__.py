"""One file per published network, and the registry that names them."""
