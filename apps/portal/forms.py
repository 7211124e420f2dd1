from django import forms


class SetUpForm(forms.Form):
    email = forms.EmailField(label="Email address", max_length=254)
    name = forms.CharField(label="Name", max_length=150)
    password = forms.CharField(
        help_text="At least 12 characters; several words work well.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        max_length=256,
    )
    organization_name = forms.CharField(
        label="Organization", max_length=80, help_text="Your company or team."
    )
    workspace_name = forms.CharField(
        label="First workspace",
        max_length=50,
        help_text="A group of Deployments with its own members, such as “Analytics”.",
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on
        self.fields["email"].widget.attrs["autocomplete"] = "username"
        self.fields["name"].widget.attrs["autocomplete"] = "name"
