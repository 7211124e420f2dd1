"""What every door to Airflow UIs shares: addresses, headers, pages, and the passing on of bodies.

The local edge and the gateway to clusters are both made of it; it knows no plane.
"""
