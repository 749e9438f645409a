//! [`crossing`] with the system's allocator.

mod crossing;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    crossing::main()
}
