"""From a config to everything that a training run is made of; config objects go no further."""
