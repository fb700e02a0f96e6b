//! Beam YAML: text to a checked graph of transforms.
