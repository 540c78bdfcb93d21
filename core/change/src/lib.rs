//! Entities, domain events and change identity. No I/O, no clock.
