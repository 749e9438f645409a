//! [`both_sides`] with the allocator of the product, which wipes what is freed.

mod both_sides;

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    both_sides::main()
}
