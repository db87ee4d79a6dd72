// Front door of the OCI room.
export {}
