"""What more than one service needs. A closed list of modules; anything else belongs to one service."""
