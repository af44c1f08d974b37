//! `parkade-router`: the KServe v2 front door.

fn main() {}
