//! What is worked out before the server is compiled.

mod commit;
mod web;

fn main() {
    println!("cargo::rerun-if-changed=build");
    commit::name();
    web::embed();
}
