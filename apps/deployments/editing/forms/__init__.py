"""The form of a configuration: `data` is its content, `parts` its fields, `editor` the whole."""
