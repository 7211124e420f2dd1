from django import forms

ACTS = (
    ("acknowledge", "Acknowledge"),
    ("silence-hour", "Silence for 1 hour"),
    ("silence-day", "Silence for 1 day"),
    ("silence", "Silence until it closes"),
    ("end-silence", "End the silence"),
)


class ResponseForm(forms.Form):
    """What a person does with an incident; the button pressed is the act."""

    act = forms.ChoiceField(
        choices=ACTS,
        error_messages={
            "required": "Choose what to do with the incident.",
            "invalid_choice": "Choose what to do with the incident.",
        },
    )
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"autocomplete": "off", "data-width": "l"}),
        help_text="Stands in the timeline and in the audit log.",
    )
