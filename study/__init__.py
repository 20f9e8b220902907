"""This study of Wu et al. (2020): its settings, steps, tables, figures and command line."""
