"""An agent that does not answer before a test has seen enough."""

HOLDING = """\
about: Says a word and then nothing for a long time.
word_pause_s: 0
rules:
  - choices:
      - weight: 1
        steps:
          - text: "One moment."
          - pause: [600, 600]
          - text: "There."
"""

HOLDING_CONFIG = """\
http: {port: 0}
core: {drain_s: 3.0}
agents:
  main: {runner: scripted, scenario: hold.yaml}
"""
