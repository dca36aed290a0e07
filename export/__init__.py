"""Build, train, verify and publish the models that the service loads."""
