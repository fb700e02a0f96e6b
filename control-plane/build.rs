//! Builds the crate anew when the dashboard was, whose files become part of it.

fn main() {
    println!("cargo::rerun-if-changed=../dashboard/dist");
}
