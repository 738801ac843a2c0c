"""Networks: the dense network, the subtomogram network and their self-supervised wrappers."""
