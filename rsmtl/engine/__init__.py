"""The engine: windows through a model and back into one seamless scene. A plan, two jobs, a lazy or a durable end."""
