"""From reference classes and experts to one joint posterior."""
