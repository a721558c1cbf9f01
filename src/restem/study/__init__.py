"""What a study means: its policies, who samples for whom, and the settings of each stage."""
