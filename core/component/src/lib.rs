//! The contracts between components and the graph, and the ports to the outside world.
