//! Plan, a pure function from settings to a picture, and run, which keeps the picture alive.
