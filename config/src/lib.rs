//! Files to located YAML to typed settings: expansion, merge, errors with file:line:column.
