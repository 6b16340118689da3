"""What EACPS costs and what it saves, measured against what a user would write instead.

throughput   the command: candidates per second of every way, in alternation
edits        what is edited, and from which noise
outcome      what one way made of one edit
plain_faces, plain_judge, plain   a user's own code over diffusers, InsightFace and transformers
served       the same edits through gRPC and Triton
agreement    whether both ways did the same work
windows      measuring: wall clock, processor time by process, Triton's counters
counters, processes, machine   what is read to that end
report       figures to a table and to JSON
search_time  a command: what searches take by the clock, and what they find
"""
