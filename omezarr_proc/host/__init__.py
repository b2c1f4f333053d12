"""What this process may use: control groups, Lambda, ECS, the machine."""
