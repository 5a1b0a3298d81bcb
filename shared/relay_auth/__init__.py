"""Auth: who may do what. Viewer tokens are made by control and checked by gateways; API keys are checked."""
