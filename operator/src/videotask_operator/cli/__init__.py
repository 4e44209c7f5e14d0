"""What people meet on a terminal; acts through resources alone, as any hand does, and must never decide anything."""
