//! [`both_sides`] with the system's allocator.

mod both_sides;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    both_sides::main()
}
