"""artifact-flow: a DVC pipeline for scikit-learn models whose every byte can be reproduced and proven."""
