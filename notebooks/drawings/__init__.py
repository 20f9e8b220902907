"""Pictures and demonstrations that one notebook alone uses."""
