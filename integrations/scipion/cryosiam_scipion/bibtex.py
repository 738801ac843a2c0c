r"""
@phdthesis{Stojanovska2024,
    author = {Stojanovska, Frosina},
    title = {Self-supervised deep learning for advancing macromolecular analysis in cryo-electron tomography},
    school = {Ruprecht-Karls-Universit{\"a}t Heidelberg},
    year = {2024},
    month = {December}
}

@article{Stojanovska2025,
    author = {Stojanovska, Frosina and Sanchez, Ricardo M. and Jensen, Rasmus K. and Mahamid, Julia and Kreshuk, Anna
              and Zaugg, Judith B.},
    title = {CryoSiam: self-supervised representation learning for automated analysis of cryo-electron tomograms},
    journal = {bioRxiv},
    year = {2025},
    doi = {10.1101/2025.11.11.687379}
}
"""
