//! Integration tests of the model.

mod findings;
mod machine;
mod profile;
mod spec_configs;
mod spec_errors;
mod spec_fuzz;
mod spec_structure;
mod spec_support;
mod spec_templates;
