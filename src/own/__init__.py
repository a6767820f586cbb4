"""Own: your own estimators, transformers and metrics, which params.yaml names by paths such as own.winsor.Winsor."""
