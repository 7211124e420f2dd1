"""What moves a Deployment as a whole: another name, a copy of it, another workspace.

It lies above the apps that keep something of a Deployment, because each of them has a say in what
goes along.
"""
