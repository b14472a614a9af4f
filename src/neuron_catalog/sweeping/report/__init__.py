"""What has become of a sweep, for people and for programs: one report in three forms."""
