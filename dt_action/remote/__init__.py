"""What client, coordinator and worker say to one another, and how it gets there."""
