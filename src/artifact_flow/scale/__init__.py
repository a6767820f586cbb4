"""Scale: the same work on several processes and machines, and on tables in object stores."""
